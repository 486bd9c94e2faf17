"""The composition root: settings → pools → mounts → lifespan. The only place where parts are joined."""
