"""What got worse, judged: pure functions of the history and of what is known of images."""
