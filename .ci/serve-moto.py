"""moto's server, with one fault of its ECS mended: it adds up the memory that containers state, and on Fargate they need not.

    serve-moto.py -p PORT
"""

from moto.ecs.models import EC2ContainerServiceBackend
from moto.server import main

EC2ContainerServiceBackend._calculate_task_resource_requirements = staticmethod(
    lambda _: {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}
)
main()
