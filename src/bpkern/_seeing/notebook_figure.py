"""A figure that a notebook draws once, although pyplot shows it and the call returns it."""

import matplotlib
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure

# Backends whose figures are still pictures in a notebook; others display their own, which react to the mouse.
STILL = ("inline", "module://matplotlib_inline.backend_inline")


class NotebookFigure(Figure):  # type: ignore[misc]
    """A figure of pyplot, which a notebook draws as a value or, if it is none, at the end of the cell."""

    def _ipython_display_(self) -> None:
        """Leave the drawing to IPython, in the format that the user has chosen, and not to pyplot, too.

        Other backends have drawn the figure already: as a value it is silent.
        """
        if matplotlib.get_backend().lower() in STILL:
            Gcf.destroy_fig(self)
            raise NotImplementedError("IPython draws it as any figure")
