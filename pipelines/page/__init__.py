"""The page of `hier app`: drop an image, see its group, change what is known, take files along.

`server` listens and `application` has the addresses of the page; `guard` refuses requests that other pages or other
hosts cause, and what is too large. `visitors` keeps each visitor's images apart, for a while, in a temporary folder;
`examples` are patterns to begin with. `say` is what a visitor has set, `answers` is what the page shows of an image for
it, `shapes` the overlay as lines and points, and `downloads` are its files.
"""
