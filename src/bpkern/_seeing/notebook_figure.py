"""A figure that a notebook draws once, although pyplot shows it and the call returns it."""

import io

import matplotlib
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure

# Backends whose figures are still pictures in a notebook; others display their own, which react to the mouse.
STILL = ("inline", "module://matplotlib_inline.backend_inline", "agg")


class NotebookFigure(Figure):  # type: ignore[misc]
    """A figure of pyplot, which a notebook draws at the end of the cell that made it.

    As the last value of that cell, it would be drawn again.
    """

    def _ipython_display_(self) -> None:
        """What IPython does with a value, and pyplot at the end of a cell with its figures: a picture.

        pyplot then forgets the figure, and so draws it no second time.
        """
        if matplotlib.get_backend().lower() not in STILL:
            return
        from IPython.display import Image, display

        picture = io.BytesIO()
        self.savefig(picture, format="png")
        Gcf.destroy_fig(self)
        display(Image(picture.getvalue()))
