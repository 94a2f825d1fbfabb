"""Finding faces, following them, and parsing them into regions."""
