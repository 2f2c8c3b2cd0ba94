"""The engine of HCL Explorer: decode at every exit layer, judge, cluster, score, store. Never imports gradio."""

__version__ = "0.1.0"
