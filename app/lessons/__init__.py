"""Class mode: a lesson file, the room of a class that predicts and then sees, and its light pages beside Gradio's."""
