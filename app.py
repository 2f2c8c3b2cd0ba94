"""Build the page and launch it; nothing else."""

import argparse
import os
import threading

# Before gradio is imported: no usage statistics are sent.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from app.quick_start import no_stub_files, one_application

with no_stub_files():
    from app.language import labels
    from app.page import build
    from app.service import Service
    from app.theme import STYLE_SHEET, make_theme
    from hcl_core.allocator import limit_arenas
    from hcl_core.models.footprint import WEIGHT_FORMATS
    from hcl_core.transfer.vetting import MAX_BYTES


def main() -> None:
    """Serve the page on this machine only, unless told otherwise."""
    parser = argparse.ArgumentParser(description="HCL Explorer in the browser.")
    # A Space says where to listen through Gradio's own variables.
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="default %(default)s")
    parser.add_argument("--port", type=int, default=None, help="default: the first free one from 7860")
    parser.add_argument("--open", action="store_true", help="open a browser window")
    parser.add_argument(
        "--dtype",
        choices=["auto", "fastest", *WEIGHT_FORMATS],
        default="auto",
        help="how models are kept: float32 on a CPU, what is measured to be fastest, or as named; default %(default)s",
    )
    options = parser.parse_args()
    limit_arenas()
    is_public = options.host not in ("127.0.0.1", "localhost", "::1") or "SPACE_ID" in os.environ
    service = Service(is_public, options.dtype)
    threading.Thread(target=service.warm_up, daemon=True).start()
    with one_application():
        page = build(service)
    page.launch(
        server_name=options.host,
        server_port=options.port,
        inbrowser=options.open,
        share=False,
        show_error=False,
        allowed_paths=[],
        # On the owner's own page, a run that was exported can be uploaded again; visitors upload questions alone.
        max_file_size="5mb" if is_public else MAX_BYTES,
        strict_cors=True,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        footer_links=["settings"],
        theme=make_theme(),
        i18n=labels(),
        css_paths=STYLE_SHEET,
    )


if __name__ == "__main__":
    main()
