"""What the page can do, a file a tab: functions of records, which need no Gradio.

A handler returns a record of what it found, and raises ``HclError`` for whatever the visitor can mend. ``app.render``
makes parts of the page of the records, and ``app.tabs`` makes messages of the errors.
"""
