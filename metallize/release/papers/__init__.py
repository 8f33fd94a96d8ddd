"""What is written beside an image when it is released, once, and never changes after."""
