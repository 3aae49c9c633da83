module my-task

go 1.24
