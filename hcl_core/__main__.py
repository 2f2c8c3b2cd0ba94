"""``python -m hcl_core``."""

from hcl_core.cli import main

if __name__ == "__main__":
    main()
