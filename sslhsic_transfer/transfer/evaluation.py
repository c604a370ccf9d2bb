"""The tasks' evaluation for predictions of any origin: each function measures a plain function of pictures."""

from sslhsic_transfer.transfer.tasks.classification import evaluate_classification as evaluate_classification
from sslhsic_transfer.transfer.tasks.depth import evaluate_depth as evaluate_depth
from sslhsic_transfer.transfer.tasks.detection import evaluate_detection as evaluate_detection
from sslhsic_transfer.transfer.tasks.segmentation import evaluate_segmentation as evaluate_segmentation
