"""Code that is shared by operators and sensors."""
