"""Code that operators and sensors share."""
