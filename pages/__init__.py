"""The pages that a person sees: thin scripts over `tlcore`."""
