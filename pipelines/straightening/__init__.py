"""Bent images answered: `options` are what users ask for, `names` what that is called, `judged` straightens and
answers, `said` is told of it.
"""
