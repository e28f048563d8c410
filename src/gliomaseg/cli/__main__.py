"""`python -m gliomaseg.cli` is `gliomaseg`."""

from gliomaseg.cli import main

main()
