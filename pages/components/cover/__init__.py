"""A picture of which a person covers a part with a finger, a mouse or keys."""
