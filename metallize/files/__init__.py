"""What files hold, and how they are read and written: formats of images, holes, records."""
