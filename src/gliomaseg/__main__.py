"""`python -m gliomaseg` is the command `gliomaseg`."""

from gliomaseg.cli import main

main()
