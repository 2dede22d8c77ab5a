from .schemas import TrainConfig as TrainConfig
from .schemas import ZooConfig as ZooConfig
from .train import merger_training as merger_training
from .train import run_dreambooth as run_dreambooth
from .train import run_synthesis as run_synthesis
from .train import run_train as run_train
from .train import run_zoo as run_zoo
from .train import zoo_concepts as zoo_concepts
