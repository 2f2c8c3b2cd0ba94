"""``python -m hcl_core``, and the command ``hcl``."""

from hcl_core.quiet import no_bars_in_a_pipe, quiet_start

no_bars_in_a_pipe()
with quiet_start():
    from hcl_core.cli import main

if __name__ == "__main__":
    main()
