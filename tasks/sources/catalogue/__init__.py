"""Every public dataset's official layout, by name: `bundles.BUNDLES`; one module a family."""

from tasks.sources.catalogue.bundle import Bundle, Feed, Part

__all__ = ["Bundle", "Feed", "Part"]
