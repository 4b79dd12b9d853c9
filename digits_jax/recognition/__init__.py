"""From a photo or a drawing to digits."""
