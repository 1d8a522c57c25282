from .app import App

app = App(help="x")


@app.command()
def csv() -> None:
    """C."""
