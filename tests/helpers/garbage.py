"""Objects that reference counting does not free, because they refer to each other in a circle."""

import gc
from collections import Counter
from contextlib import contextmanager


@contextmanager
def without_collections():
    """Run no garbage collection meanwhile; begin with nothing to collect."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def unreachable(*packages):
    """Return the number of objects that only the garbage collector can free, by class.

    Only instances of classes of these packages count.
    """
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        modules = [(type(each).__module__, type(each).__qualname__) for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()
    return Counter(name for module, name in modules if module.partition(".")[0] in packages)
