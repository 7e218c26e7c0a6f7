"""IMDb's published files → Delta tables → pre-computed views. Knows nothing of the server."""
