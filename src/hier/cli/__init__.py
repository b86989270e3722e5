"""The command line: `app` has the commands, a file each; `options` what they share; `screen` what they show."""
