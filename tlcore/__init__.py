"""Image classifiers by transfer learning: data, features, training, evaluation, prediction."""
