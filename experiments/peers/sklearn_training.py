"""The nearest that scikit-learn's MLPClassifier comes to the classic training.

It has no quadratic cost: softmax cross-entropy instead, which needs a smaller learning rate.
"""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from experiments.peers import classic
from experiments.peers.classic import CLASSES, HIDDEN, Data, Training

LEARNING_RATE = 0.3


def make_training(data: Data, batch_size: int) -> Training:
    """One `partial_fit` an epoch, which shuffles and makes every update of it.

    Args:
        data: what to train on and to score.
        batch_size: images a step.
    """
    images, test_images = (
        array.astype(np.float32) / 255 for array in (data.images, data.test_images)
    )
    labels = data.labels.astype(np.int64)
    classifier = MLPClassifier()

    def start(seed: int) -> None:
        nonlocal classifier
        classifier = MLPClassifier(
            hidden_layer_sizes=(HIDDEN,),
            activation="logistic",
            solver="sgd",
            alpha=0.0,
            batch_size=batch_size,
            learning_rate_init=LEARNING_RATE,
            momentum=0.0,
            nesterovs_momentum=False,
            random_state=seed,
        )

    def train(steps: int) -> None:
        count = steps * batch_size
        classifier.partial_fit(images[:count], labels[:count], classes=np.arange(CLASSES))

    def accuracy() -> float:
        return float(classifier.score(test_images, data.test_labels))

    def parameters() -> list[tuple[Any, Any]]:
        layers = zip(classifier.coefs_, classifier.intercepts_, strict=True)
        return [(weights.T.copy(), biases.copy()) for weights, biases in layers]

    return Training(start, train, accuracy, parameters)


if __name__ == "__main__":
    classic.main(make_training, None)
