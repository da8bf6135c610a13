"""Two sources of annotations over the same images, object against object."""
