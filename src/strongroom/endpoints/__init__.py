"""Local servers that hand out credentials as Amazon ECS and Amazon EC2 do, for any SDK to refresh by itself."""
