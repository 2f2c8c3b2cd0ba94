"""Build the page and launch it; nothing else."""

import argparse
import importlib.util
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

from hcl_core.quiet import no_bars_in_a_pipe, quiet_start

# Before gradio is imported: no usage statistics are sent.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# Uvicorn would believe what callers on this machine say of their address; only the settings name proxies.
os.environ["FORWARDED_ALLOW_IPS"] = ""
no_bars_in_a_pipe()

with quiet_start():
    from app.quick_start import no_stub_files, one_application

    with no_stub_files():
        from gradio import Blocks
        from pydantic import ValidationError
        from starlette.middleware import Middleware

        from app.body_limit import BodyLimit
        from app.closed_routes import ClosedRoutes
        from app.components import HEAD_SCRIPTS
        from app.depth_file import depth_route
        from app.downloads import download_routes
        from app.drawn_ahead import draw_ahead
        from app.endpoints.agents import give_json
        from app.endpoints.named_calls import NamedCalls
        from app.headers import SafeHeaders
        from app.kept_page import KeptPage
        from app.language import choose_language_in_browser, labels
        from app.lessons.opening import OpenedClass, open_class
        from app.logs import limit_log, limit_server_log, log_as
        from app.own_hosts import OwnHosts, guarded, host_name, is_loopback
        from app.page import build
        from app.plotly_file import plotly_route
        from app.service import Service
        from app.settings import PageSettings
        from app.theme import STYLE_SHEETS, make_theme
        from app.uploads import UploadLimit
        from app.watching.counts import CountRequests
        from app.watching.health import health_route
        from app.watching.metrics import metrics_routes
        from app.weights import Weights
        from app.zerogpu import LentGpu, is_zero_gpu
        from hcl_core import registry
        from hcl_core.allocator import limit_arenas
        from hcl_core.errors import HclError, file_and_cause
        from hcl_core.folders import cache_folder, runs_folder
        from hcl_core.models.footprint import WEIGHT_FORMATS
        from hcl_core.transfer.vetting import MAX_BYTES


# Seconds that the server keeps an idle connection: longer than the usual 5, for which visitors look at an answer. A
# connection that is closed just as their next request comes breaks that request.
_KEEP_ALIVE = 75


class _Once(argparse.Action):
    """An option with one value; argparse would take the last of several without a word."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        """Store the value, or end the program where there is one already."""
        given = vars(namespace).setdefault("given", set())
        if self.dest in given:
            parser.error(f"{option} takes one value, and was given twice: give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="HCL Explorer in the browser.")
    parser.register("action", None, _Once)
    # A Space says where to listen through Gradio's own variables.
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="default %(default)s")
    parser.add_argument("--port", type=int, default=None, help="default: the first free one from 7860")
    parser.add_argument("--open", action="store_true", help="open a browser window")
    parser.add_argument(
        "--public",
        action="store_true",
        help="others can reach the page, such as through a proxy; so it is with any --host that is not this machine's",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="one more host name that the page answers to, such as a proxy's; may be given many times",
    )
    parser.add_argument(
        "--dtype",
        choices=["auto", "fastest", *WEIGHT_FORMATS],
        default="auto",
        help="how models are kept: float32 on a CPU, what is measured to be fastest, or as named; default %(default)s",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:N or mps; or GPUs that each have all of the model, as cuda:0,cuda:1, and each run "
        "is on the one with the fewest runs; default %(default)s",
    )
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="offer the endpoints to agents as tools too, at /gradio_api/mcp/; needs the extra mcp (docs/programs.md)",
    )
    parser.add_argument(
        "--class", dest="lesson", type=Path, metavar="LESSON", help="a lesson for a class (docs/class.md)"
    )
    return parser


def main() -> None:
    """Serve the page on this machine only, unless told otherwise."""
    parser = _parser()
    options = parser.parse_args()
    limit_arenas()
    for name in options.allowed_host:
        if host_name(name) != name.lower():
            parser.error(f"--allowed-host must be a host name without scheme and port; got {name!r}")
    if options.mcp and importlib.util.find_spec("mcp") is None:
        parser.error('--mcp needs a package that is not installed: pip install ".[mcp]"')
    if options.device != "auto" and is_zero_gpu(os.environ):
        parser.error("--device is not for a ZeroGPU Space, whose GPU is lent: leave it out")
    limit_log()
    try:
        settings = PageSettings()
        log_as(settings.log)
        is_space = "SPACE_ID" in os.environ
        is_public = options.public or settings.is_public or not is_loopback(options.host) or is_space
        # A Space stands behind a proxy of the Hub.
        proxies = 1 if is_space and "proxies" not in settings.model_fields_set else settings.proxies
        if options.device != "auto":  # which asks nothing of torch before a model is loaded
            registry.choose_devices(options.device)
        cache_folder(), runs_folder()
        with quiet_start():
            settings = settings.model_copy(update={"public": is_public, "proxies": proxies})
            room = open_class(options.lesson, settings) if options.lesson else None
            page = launch(options, settings, room)
    except ValidationError as error:
        wrong = error.errors()[0]
        variable = f"HCL_{'_'.join(map(str, wrong['loc'])).upper()}"
        parser.exit(2, f"error: {variable}: {wrong['msg']}; got {str(wrong['input'])[:100]!r}\n")
    except (HclError, OSError) as error:  # such as a port in use
        parser.exit(2, f"error: {file_and_cause(error)}\n")
    limit_server_log()
    if room:
        print(room.told(options.host, page.server_port), flush=True)
    page.block_thread()


def launch(options: argparse.Namespace, settings: PageSettings, room: OpenedClass | None = None) -> Blocks:
    """The page, which a thread serves."""
    is_public = settings.is_public
    weights, is_lent = Weights(is_public), is_zero_gpu(os.environ)
    if settings.fetch_weights if settings.fetch_weights is not None else "SPACE_ID" in os.environ:
        # Models are placed on a lent GPU at the start: their weights must be here by then.
        weights.fetch(and_wait=is_lent)
    # In the main thread, and before torch is imported: see LentGpu.
    gpu = LentGpu.of_settings(settings.zerogpu_models) if is_lent else None
    service = Service(settings, options.dtype, gpu, weights, options.device)
    threading.Thread(target=service.warm_up, daemon=True).start()
    if is_public:
        threading.Thread(target=draw_ahead, args=[service], daemon=True).start()
    choose_language_in_browser()
    with one_application():
        page = build(service)
    hosts = OwnHosts.of_page(is_public, options.allowed_host, os.environ)
    safe = partial(SafeHeaders, environment=os.environ, scripts=HEAD_SCRIPTS)
    page.launch(
        # An IPv6 address stands in brackets in Gradio's own address.
        server_name=f"[{options.host}]" if ":" in options.host and "[" not in options.host else options.host,
        server_port=options.port,
        inbrowser=options.open,
        prevent_thread_lock=True,
        share=False,
        show_error=False,
        allowed_paths=[],
        # On the owner's own page, a run that was exported can be uploaded again; visitors upload questions alone.
        max_file_size=settings.most_bytes_an_upload if is_public else MAX_BYTES,
        # One for each place, of which most wait for something else than the processor, and Gradio's usual number.
        max_threads=settings.most_places + 40,
        strict_cors=True,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        # Its settings would be a second, competing place for language and colours.
        footer_links=[],
        # Never by Gradio's own variable.
        mcp_server=options.mcp,
        theme=make_theme(),
        i18n=labels(),
        css_paths=STYLE_SHEETS,
        app_kwargs={
            "routes": [
                plotly_route(),
                depth_route(),
                *download_routes(service),
                *(room.routes(service) if room else []),
                health_route(service),
                *metrics_routes(service, settings.has_metrics),
            ],
            # A page is kept with its headers; what is refused has them too.
            "lifespan": guarded(hosts, (safe, KeptPage), (BodyLimit, ClosedRoutes, safe, CountRequests)),
            "middleware": [
                Middleware(NamedCalls),
                *([Middleware(UploadLimit, settings=settings)] if is_public else []),
            ],
        },
    )
    give_json(page)
    page.server.config.timeout_keep_alive = _KEEP_ALIVE
    return page


if __name__ == "__main__":
    main()
