"""Objects that hold settings in slots: scikit-learn's way to read and set them, and their pickles."""

from typing import Any, Self


class Slotted:
    """A base class of settings. Its subclasses have slots, so that setting a misspelt attribute is an error.

    ``__slots__`` of a subclass names the constructor's arguments in their order, or `settings` is its own.

    Python's own `__getstate__` serves pickles of such objects from protocol 2 on. Protocols 0 and 1, and
    skops, which calls `__reduce__`, want a method of the class.
    """

    __slots__: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments by name.

        Returns
        -------
        dict
            In the order of the constructor.
        """
        return {argument: getattr(self, argument) for argument in self.__slots__}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.settings().items())
        return f"{type(self).__name__}({arguments})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name, so that scikit-learn can search over ``optimizer__lr``.

        Parameters
        ----------
        deep : bool
            Ignored.

        Returns
        -------
        dict
            As `settings`.
        """
        return self.settings()

    def set_params(self, **settings: Any) -> Self:
        """Change settings: all of them, or none if one is not allowed.

        Parameters
        ----------
        **settings
            New values by name.

        Returns
        -------
        object
            This one.

        Raises
        ------
        ValueError, TypeError
            For a setting that does not exist, and as the constructor.
        """
        present = self.settings()
        for name in settings:
            if name not in present:
                raise ValueError(
                    f"{type(self).__name__} has no setting {name!r}: there are {', '.join(present)}"
                )
        checked = type(self)(**{**present, **settings})
        for name in settings:
            setattr(self, name, getattr(checked, name))
        return self

    def __getstate__(self) -> Any:
        """(attributes in `__dict__` or None, attributes in slots): the state that pickles hold."""
        return super().__getstate__()

    def __setstate__(self, state: Any) -> None:
        """Set the attributes of such a state. They are checked when they are used."""
        for attributes in state if isinstance(state, tuple) else (state,):
            for name, value in (attributes or {}).items():
                setattr(self, name, value)
