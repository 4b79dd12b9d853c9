"""One run on many devices, many runs as one program: the mesh, and joining a job."""
