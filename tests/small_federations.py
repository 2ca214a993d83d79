"""Settings of federations small enough for a test."""

SMALL_FEDERATION = {
    "data.source": "digits",
    "data.limit": 200,
    "tasks": 2,
    "clients": 4,
    "encoder.width": 4,
    "generator.width": 4,
    "generator.max_width": 8,
    "generator.latent_dim": 8,
    "rehearsal.steps": 2,
    "rehearsal.batch_size": 8,
    "train.clients_per_round": 2,
    "train.epochs": 1,
}
