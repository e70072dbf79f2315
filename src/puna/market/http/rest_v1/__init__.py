"""RunPod's REST of version 1, for `runpodctl`, older providers of Terraform and scripts."""
