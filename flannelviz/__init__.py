"""Understand, break and prove the network of an Alibaba Cloud Kubernetes cluster with flannel."""
