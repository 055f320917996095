"""What is shown: look and colours, pictures, export, panels, the page, and the explorer."""
