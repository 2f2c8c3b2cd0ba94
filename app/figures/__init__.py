"""Records in, Plotly figures out, as plain dictionaries; colours are names of CSS variables, set by the theme.

``base`` has what all charts share, the other files one chart each.
"""
