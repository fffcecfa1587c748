"""Every public dataset's official layout, by name: a Bundle a source, one module a family."""

from tasks.sources.catalogue.bundle import Bundle, Feed, Part

BUNDLES: dict[str, Bundle] = {}

__all__ = ["BUNDLES", "Bundle", "Feed", "Part"]
