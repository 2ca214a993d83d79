"""The files of a folder, wherever it is: on this machine, or in an object store, by way of fsspec.

In comes a location as a person names it, a path or a URL; out comes a ``Store``, whose few operations are all that a
dataset needs, with errors of one line. Every room that reads or writes a dataset may call it; it imports no other room.
"""

from synthdata.stores.local import LocalStore
from synthdata.stores.locations import Location, is_url, loading_call, open_store
from synthdata.stores.store import Draft, Store, Stored

__all__ = ["Draft", "LocalStore", "Location", "Store", "Stored", "is_url", "loading_call", "open_store"]
