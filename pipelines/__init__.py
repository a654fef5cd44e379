"""When and in what order: the only package that imports dagster."""

import warnings

# Dagster marks these as young; its version is pinned to 1.13, and tests hold what we use of them.
warnings.filterwarnings("ignore", message="Parameter `data_version` of initializer `Output.__init__`")
warnings.filterwarnings("ignore", message=r"(Function `with_source_code_references`|Class `\w+`) is currently in beta")
warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec")
