"""Why something does not work, as whoever has found another way in, or stands at the prompt, sees it."""
