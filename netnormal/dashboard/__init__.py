"""What dashboard.py shows: `store` keeps packets in columns on disk, `questions` asks it, `results` reads what
detect.py wrote, `story` says what it means, `charts` draws, `show` puts text from the network on a page as text,
`pages` are what a reader sees. Only `show`, `charts`, `app` and `pages` know Streamlit.
"""
