"""What each verb does: read the profile, call the library, show what came of it. A module for each group of verbs."""
