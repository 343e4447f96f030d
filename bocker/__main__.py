"""`python -m bocker`: the same as `bocker`, where pip's script is not on the path."""

from bocker.cli.main import console_script

if __name__ == "__main__":
    console_script()
