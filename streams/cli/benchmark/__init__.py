"""What `retold bench` does: generated events, topics of their own, one worker, and how fast and how soon they are handled."""
