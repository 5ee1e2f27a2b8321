"""A figure that a notebook draws once, although pyplot shows it and the call returns it."""

import io

from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure


class NotebookFigure(Figure):  # type: ignore[misc]
    """A figure of pyplot, which a notebook draws at the end of the cell that made it.

    As the last value of that cell, it would be drawn again.
    """

    def _ipython_display_(self) -> None:
        """What IPython does with a value: nothing while pyplot will draw it, and in later cells a picture."""
        if self.canvas.manager in Gcf.get_all_fig_managers():  # pyplot itself asks only for numbers
            return
        from IPython.display import Image, display

        picture = io.BytesIO()
        self.savefig(picture, format="png")
        display(Image(picture.getvalue()))
