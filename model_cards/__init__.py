"""Published models, one folder a model: config.json, weights, results and card; none yet."""
