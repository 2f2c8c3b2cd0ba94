"""What stands where on each tab, and which event calls which handler; a file a tab."""
