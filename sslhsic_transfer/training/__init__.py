"""Parts shared by all training runs, both pretraining and fine-tuning."""
